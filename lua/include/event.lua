-- event: append to the capped stream of creations, evictions, failures, restores and epochs.
-- Needs: call, prefix
-- Gives: event
local function event(retained, ...)
  call('XADD', prefix .. 'events', 'MAXLEN', '~', retained, '*', ...)
end
