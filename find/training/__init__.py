"""Training the interface: the criterion, the Lightning module, and what `findvl fit` adds to Lightning's own."""
