"""The dashboard, served by plain `panel serve` instead of `pano serve`.

    PANO_LIBRARY=LIB panel serve apps/dashboard.py --index dashboard \\
        --plugins pano_analytics.dashboard.plugin --address 127.0.0.1 --port 5006

The plugin brings the login, the addresses of pictures and clips and the
headers; without it the page shows nothing but how to start it. The library is
the one that PANO_LIBRARY names, else that of PANO_CONFIG or ./pano.toml.
Without a user (`pano user add NAME`) only this computer may look, whatever
the address.
"""

from pano_analytics.dashboard.plugin import show

show()
