"""`python -m pilothouse` is the command `pilothouse`.

It is how the program starts itself again, since it finds the package of this very interpreter whatever PATH says. All
else is in `cli`.
"""

from pilothouse.cli import main

if __name__ == "__main__":
    main()
