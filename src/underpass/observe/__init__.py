"""What happened: exchanges recorded without their secrets, counted, and held against quotas."""
