"""Other runtimes under the same load as ours, each in an environment of its own."""
