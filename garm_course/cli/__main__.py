"""`python -m garm_course.cli` is `garm`, for where the script is not on the path."""

from garm_course.cli import main

if __name__ == "__main__":
    main()
