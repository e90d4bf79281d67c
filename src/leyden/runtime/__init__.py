"""Where and how a run computes: devices, launchers, strategies and number formats, for any ``nn.Module``."""
