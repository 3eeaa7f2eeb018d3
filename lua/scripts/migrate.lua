-- migrate: make a staged generation of this schema the current one, if the older one is as it was at the moment it was read.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the staged generation
-- ARGV[2] current str what meta.generation must be
-- ARGV[3] token str as given to stage_begin and to moment_begin
-- ARGV[4] steps int number of the last call of stage
-- ARGV[5] older int what meta.schema must be
-- ARGV[6] events_retained int length of the event stream
-- ARGV[7..] meta str fields and values of meta that change
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCLOST token: a claim has ended, or the server has lost what was staged; RCCHANGED what: a worker wrote since the moment, or holds a lease; RCTYPE key: something else stands at one of our keys
-- Atomic. O(1). Epochs, random stream and counters of meta stay as they are.

--@include keys
--@include digest
--@include clock
--@include event
local live = call('HMGET', meta_key, 'generation', 'restored', 'schema')
if live[2] == token then
  return 1
end
if live[1] ~= current or live[3] ~= older then
  return redis.error_reply('RCSTALE ' .. (live[1] or 'gone'))
end
--@include staged
if call('HGET', prefix .. 'snapshot', 'token') ~= token then
  return redis.error_reply('RCLOST ' .. token)
end
for _, copies in ipairs({ prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels' }) do
  if call('HLEN', copies) ~= 1 then -- beside the field of moment_begin: what a worker has changed
    return redis.error_reply('RCCHANGED wrote')
  end
end
if call('ZCOUNT', prefix .. 'workers', now_ms(), '+inf') > 0 then
  return redis.error_reply('RCCHANGED registered')
end
event('event', 'migrated', 'generation', generation, 'from_schema', older)
call('HSET', meta_key, 'restored', token, unpack(meta, meta_first))
call('HDEL', meta_key, 'snapshot')
call('UNLINK', prefix .. 'restore', prefix .. 'snapshot', prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels')
return 1
