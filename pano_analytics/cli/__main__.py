"""`python -m pano_analytics.cli`: the same as `pano`, and how `pano up` runs its parts."""

from pano_analytics.service.supervise.child import end_with_supervisor

if __name__ == "__main__":
    end_with_supervisor()
    from pano_analytics.cli import main

    main()
