-- baseline: the least that a script can do.
-- KEYS[1] meta hash rc:{name}:meta
-- Returns 1

return 1
