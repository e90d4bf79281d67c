"""Old names: arguments, hooks and imports of earlier versions, translated or refused."""
