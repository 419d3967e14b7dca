"""Pure: a proof in, text out."""
