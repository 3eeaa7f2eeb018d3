-- stage: write keys of a generation that is not yet in use.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation being staged
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str as given to stage_begin
-- ARGV[4] lease_ms int the claim holds so long after this call; 0: it ends
-- ARGV[5] expire_ms int the keys vanish after so long; 0: they stay
-- ARGV[6..] commands groups of a count n, then n words: HSET, SADD, ZADD, PERSIST or SETSUMS, the key without its generation, what the command takes
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCLOST token: the claim has ended
-- Atomic.

--@include keys
local current = call('HGET', KEYS[1], 'generation') or ''
if current ~= ARGV[2] then
  return redis.error_reply('RCSTALE ' .. (current == '' and 'gone' or current))
end
if call('HGET', prefix .. 'restore', 'token') ~= ARGV[3] then
  return redis.error_reply('RCLOST ' .. ARGV[3])
end
call('PEXPIRE', prefix .. 'restore', ARGV[4])
local at = 6
while ARGV[at] do
  local last = at + ARGV[at]
  local key = pool .. ARGV[at + 2]
  if ARGV[at + 1] == 'SETSUMS' then
    for slot = 0, 3 do
      call('BITFIELD', key, 'SET', 'i64', '#' .. slot, ARGV[at + 3 + slot])
    end
  else
    call(ARGV[at + 1], key, unpack(ARGV, at + 3, last))
  end
  if ARGV[5] ~= '0' then
    call('PEXPIRE', key, ARGV[5])
  end
  at = last + 1
end
return 1
