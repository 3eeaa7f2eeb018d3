-- event: append to the capped stream of creations, evictions, failures, settings, restores, migrations and epochs.
-- Something else in its place is told before anything is written.
-- Needs: call, prefix, events_retained
-- Gives: event
if not ({ stream = 1, none = 1 })[call('TYPE', prefix .. 'events').ok] then
  return redis.error_reply('RCTYPE ' .. prefix .. 'events')
end

local function event(...)
  call('XADD', prefix .. 'events', 'MAXLEN', '~', events_retained, '*', ...)
end
