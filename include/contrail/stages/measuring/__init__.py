"""Steps of the stage ``drift``. A step that another stage needs does not belong here."""
