"""The terms that every package uses: uploads, tables, times, zones and names."""
