"""The prediction service of the story, and its acts."""
