-- stage: write keys of a generation that is not yet in use.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation being staged
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str as given to stage_begin
-- ARGV[4] lease_ms int the claim holds so long after this call; 0: it ends
-- ARGV[5] expire_ms int the keys vanish after so long; 0: they stay
-- ARGV[6..] commands str runs of a count n, then n words: HSET, SADD, SET, ZADD or PERSIST, the key without its generation, what the command takes
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCLOST token: the claim has ended
-- Atomic.

--@include keys
local live = call('HGET', meta_key, 'generation') or ''
if live ~= current then
  return redis.error_reply('RCSTALE ' .. (live == '' and 'gone' or live))
end
if call('HGET', prefix .. 'restore', 'token') ~= token then
  return redis.error_reply('RCLOST ' .. token)
end
call('PEXPIRE', prefix .. 'restore', lease_ms)
local at = commands_first
while commands[at] do
  local last = at + commands[at]
  local key = pool .. commands[at + 2]
  call(commands[at + 1], key, unpack(commands, at + 3, last))
  if expire_ms ~= '0' then
    call('PEXPIRE', key, expire_ms)
  end
  at = last + 1
end
return 1
