"""The composition root and the faces that users hold: Queue, Batch, Task, and the worker. Not for: anything below."""
