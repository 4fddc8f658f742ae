"""pano as a service: `pano up`, the schedule, systemd units."""
