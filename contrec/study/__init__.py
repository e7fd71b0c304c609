"""The engine: settings become runs, runs are kept, evaluated, recorded and shown."""
