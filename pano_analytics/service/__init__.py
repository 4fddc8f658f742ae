"""Running pano as a service: `pano up`, the schedule, and systemd units."""
