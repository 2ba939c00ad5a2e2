"""One small module a task: its data, its model, and how the data falls to the holders of a simulation."""
