"""Training the interface: the criterion, the Lightning module, and the callbacks and loggers of `findvl fit`."""
