"""What the platform costs beside the bare work: every figure is measured side by side in one run."""
