"""How mended rows are given, and how they are matched with the quarantine. ``operations.replay`` calls it."""
