"""What the platform keeps: frozen data, the same for every store. Times are aware datetimes in UTC."""
