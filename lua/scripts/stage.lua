-- stage: write keys of a generation that is not yet in use.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation being staged
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str as given to stage_begin
-- ARGV[4] lease_ms int the claim holds so long after this call; 0: it ends
-- ARGV[5] expire_ms int the keys vanish after so long; 0: they stay
-- ARGV[6] step int grows by one with each call; an older one writes nothing
-- ARGV[7..] commands str runs of a count n, then n words: HSET, SADD, SET, ZADD or PERSIST, the key without its generation, what the command takes
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCLOST token: the claim has ended, or the server has lost an earlier call
-- Atomic.

--@include keys
--@include digest
local live = call('HGET', meta_key, 'generation') or ''
if live ~= current then
  return redis.error_reply('RCSTALE ' .. (live == '' and 'gone' or live))
end
local claim = call('HMGET', prefix .. 'restore', 'token', 'step')
local ahead = step - (claim[2] or 0)
if claim[1] ~= token or ahead > 1 then
  return redis.error_reply('RCLOST ' .. token)
end
local at = ahead > 0 and commands_first or commands_last + 1
while commands[at] do
  local last = at + commands[at]
  local key = pool .. commands[at + 2]
  call(commands[at + 1], key, unpack(commands, at + 3, last))
  if expire_ms ~= '0' then
    call('PEXPIRE', key, expire_ms)
  end
  at = last + 1
end
if ahead > 0 then
  call('HSET', prefix .. 'restore', 'step', step)
end
call('PEXPIRE', prefix .. 'restore', lease_ms)
return 1
