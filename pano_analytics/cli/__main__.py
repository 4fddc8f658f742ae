"""`python -m pano_analytics.cli`: the same as `pano`."""

from pano_analytics.cli import main

if __name__ == "__main__":
    main()
