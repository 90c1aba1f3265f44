"""How long tests wait. Only a hang takes so long: right behavior must not fail because the machine is busy."""

PATIENCE = 1800  # seconds by the clock, for another process, a kernel, a browser
