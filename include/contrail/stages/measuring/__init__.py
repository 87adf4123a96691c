"""Steps of the stages ``drift`` and ``performance``: what they read of days, and what they found. No stage belongs here."""
