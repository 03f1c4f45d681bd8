"""The commands of `findvl`, a file each; heavy libraries are imported when a command runs."""
