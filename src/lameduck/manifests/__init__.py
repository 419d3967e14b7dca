"""Pure: manifests, Dockerfiles and shell scripts as models that know their lines and columns."""
