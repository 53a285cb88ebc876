"""The whole product: a real hub, the real program, real processes as tasks."""
