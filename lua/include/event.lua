-- event: append to the capped stream of creations, evictions, failures, settings, restores, migrations and epochs.
-- Needs: call, prefix, events_retained
-- Gives: event
local function event(...)
  call('XADD', prefix .. 'events', 'MAXLEN', '~', events_retained, '*', ...)
end
