"""FIND extended from outside: encoders, a data reader and a protocol, each found through its entry point."""
