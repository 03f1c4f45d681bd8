"""FIND: two frozen foundations, the interface, and the tasks that it answers."""
