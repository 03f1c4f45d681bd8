"""The tasks: each module declares one prototype, builds its prompt, and reads its answer off the outputs."""
