"""The only writer of user data: settings, recent studies, models, logs. BRAINVIEWER_HOME overrides every folder."""
