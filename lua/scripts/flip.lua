-- flip: make the staged generation the current one, in one step.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the staged generation
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- ARGV[3] token str as given to stage_begin
-- ARGV[4] steps int number of the last call of stage
-- ARGV[5] live_epoch str what meta.epoch must be: the caller has looked for epoch counters since; empty: no curriculum
-- ARGV[6] events_retained int length of the event stream
-- ARGV[7] note str what was forced, for the event; or empty
-- ARGV[8] staged int how many staged epoch counters follow
-- ARGV[9] gone int how many epoch counters of the old generation follow
-- ARGV[10..] words str first so many names <n>:<what> that are staged, then those that go, then fields and values of meta
-- Returns 1
-- Errors RCSTALE generation: it is another now; RCEPOCH epoch: it is another now; RCTYPE key: something else stands at one of our keys; RCLOST token: the claim has ended, or the server has lost what was staged; nothing was written
-- Atomic. O(words). What may be refused comes first: nothing of the old generation goes before the new one has its place.

--@include keys
--@include digest
--@include event
local live = call('HMGET', meta_key, 'generation', 'restored', 'epoch')
if live[2] == token then
  return 1
end
if (live[1] or '') ~= current then
  return redis.error_reply('RCSTALE ' .. (live[1] or 'gone'))
end
if (live[3] or '') ~= live_epoch then
  return redis.error_reply('RCEPOCH ' .. (live[3] or '0'))
end
--@include staged
local staged_last, kept = words_first + staged - 1, {}
local gone_last = staged_last + gone
for i = words_first, staged_last do
  if call('EXISTS', pool .. 'epoch:' .. words[i]) == 0 then
    return redis.error_reply('RCLOST ' .. token)
  end
  kept[words[i]] = true
end
call('HSET', pool .. 'meta', 'restored', token)
for i = gone_last + 1, words_last, 2 do
  call('HSET', pool .. 'meta', words[i], words[i + 1])
end
event('event', 'restored', 'generation', generation, 'forced', note)
call('RENAME', pool .. 'meta', meta_key)
for i = words_first, staged_last do
  call('RENAME', pool .. 'epoch:' .. words[i], prefix .. 'epoch:' .. words[i])
end
for i = staged_last + 1, gone_last do
  if not kept[words[i]] then
    call('UNLINK', prefix .. 'epoch:' .. words[i])
  end
end
call('UNLINK', prefix .. 'restore', prefix .. 'snapshot', prefix .. 'snapshot:tasks', prefix .. 'snapshot:labels')
return 1
