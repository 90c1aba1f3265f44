"""Running a stranger's code: a sandbox, and the challenge whose referee asks a player in it."""

from garm_course import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "board": "read_board standings submit",
        "challenge": "TASKS blind_log_probs challenge example_player",
        "sandbox": "Foul Sandbox",
    },
)
