"""FIND extended from outside: encoders, a task, a data reader and protocols, each found through its entry point."""
