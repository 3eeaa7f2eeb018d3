-- flip: make the staged generation the current one, in one step.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the staged generation
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str as given to stage_begin
-- ARGV[4] steps int number of the last call of stage
-- ARGV[5] oldest_epoch int from here on the old generation's epoch counters go
-- ARGV[6] events_retained int length of the event stream
-- ARGV[7] note str what was forced, for the event; or empty
-- ARGV[8] epochs int how many staged epoch counters follow
-- ARGV[9..] meta str first so many names <n>:<what>, then fields and values of meta
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCLOST token: the claim has ended, or the server has lost what was staged
-- Atomic. O(epochs retained).

--@include keys
--@include counts
--@include event
local live = call('HMGET', meta_key, 'generation', 'restored', 'epoch')
if live[2] == token then
  return 1
end
if (live[1] or '') ~= current then
  return redis.error_reply('RCSTALE ' .. (live[1] or 'gone'))
end
--@include staged
local epochs_last = meta_first + epochs - 1
for i = meta_first, epochs_last do
  if call('EXISTS', pool .. 'epoch:' .. meta[i]) == 0 then
    return redis.error_reply('RCLOST ' .. token)
  end
end
for n = tonumber(oldest_epoch), tonumber(live[3] or -1) do
  for _, what in ipairs(EPOCH) do
    call('UNLINK', prefix .. 'epoch:' .. n .. ':' .. what)
  end
end
for i = meta_first, epochs_last do
  call('RENAME', pool .. 'epoch:' .. meta[i], prefix .. 'epoch:' .. meta[i])
end
call('UNLINK', meta_key, prefix .. 'restore', prefix .. 'snapshot', prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels')
call('HSET', meta_key, 'restored', token, unpack(meta, epochs_last + 1))
event('event', 'restored', 'generation', generation, 'forced', note)
return 1
