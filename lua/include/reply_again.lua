-- reply_again: the same answer as before, where a call that has been applied comes again.
-- Needs: call, sequence, meta, worker_key
-- Gives: reply_again
local function reply_again()
  local drawn = call('HGET', worker_key, 'drawn') or ''
  local last, wanted, words = string.match(drawn, '^(%d+) (%d+)\n(.*)$')
  local answer = { 1, tonumber(meta[7]), 0, 0, 0 }
  if last == sequence then
    answer[3] = tonumber(wanted)
    for word in string.gmatch(words, '[^\n]+') do
      answer[#answer + 1] = word
    end
  end
  return answer
end
