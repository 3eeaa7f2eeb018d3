-- flip: make the staged generation the current one, in one step.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the staged generation
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str as given to stage_begin
-- ARGV[4] oldest_epoch int from here on the old generation's epoch counters go
-- ARGV[5] events_retained int length of the event stream
-- ARGV[6] note str what was forced, for the event; or empty
-- ARGV[7] epochs int how many staged epoch counters follow
-- ARGV[8..] meta groups of that many names <n>:<what>, then of meta's fields and values
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCLOST token: the claim has ended, or a staged key has gone
-- Atomic. O(epochs retained).

--@include keys
--@include counts
--@include event
local current = call('HMGET', KEYS[1], 'generation', 'restored', 'epoch')
if current[2] == ARGV[3] then
  return 1
end
if (current[1] or '') ~= ARGV[2] then
  return redis.error_reply('RCSTALE ' .. (current[1] or 'gone'))
end
if call('HGET', prefix .. 'restore', 'token') ~= ARGV[3] then
  return redis.error_reply('RCLOST ' .. ARGV[3])
end
local fields_at = 8 + ARGV[7]
for i = 8, fields_at - 1 do
  if call('EXISTS', pool .. 'epoch:' .. ARGV[i]) == 0 then
    return redis.error_reply('RCLOST ' .. ARGV[3])
  end
end
for n = tonumber(ARGV[4]), tonumber(current[3] or -1) do
  for _, what in ipairs(EPOCH) do
    call('UNLINK', prefix .. 'epoch:' .. n .. ':' .. what)
  end
end
for i = 8, fields_at - 1 do
  call('RENAME', pool .. 'epoch:' .. ARGV[i], prefix .. 'epoch:' .. ARGV[i])
end
call('UNLINK', KEYS[1], prefix .. 'restore', prefix .. 'snapshot', prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels')
call('HSET', KEYS[1], 'restored', ARGV[3], unpack(ARGV, fields_at))
event(ARGV[5], 'event', 'restored', 'generation', ARGV[1], 'forced', ARGV[6])
return 1
