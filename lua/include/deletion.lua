-- deletion: the mark of one. Without an end: keys are still being removed. With one: its generation is remembered.
-- Needs: call, prefix
-- Gives: deleting
local deleting = call('PTTL', prefix .. 'deleted') == -1
