"""The commands of the command line, one file each; brainviewer.cli mounts them."""
