%% @doc Waiting for one message in a process that gets others too: a connection's, which must see its
%% client hang up. What is not waited for is put back into the mailbox, in its order.
-module(ml_cluster_watch).

-export([wait/3, cancel/2, is_cancel/1]).
-export_type([watch/0]).

%% Does this message say that nobody waits for the answer any more?
-type watch() :: fun((Message :: term()) -> boolean()).

%% @doc Waits until `Match' has made something of a message, `Watch' says that nobody waits any more
%% (that message is put back as well), or the deadline is there, if any, by the VM's monotonic clock in
%% milliseconds.
-spec wait(fun((term()) -> none | Value), watch(), integer() | infinity) -> {got, Value} | gone | timeout.
wait(Match, Watch, Deadline) -> wait(Match, Watch, Deadline, []).

wait(Match, Watch, Deadline, Kept) ->
    receive
        Message ->
            case Match(Message) of
                none -> other(Watch(Message), Match, Watch, Deadline, [Message | Kept]);
                Value -> ended({got, Value}, Kept)
            end
    after left(Deadline) ->
        ended(timeout, Kept)
    end.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

other(true, _, _, _, Kept) -> ended(gone, Kept);
other(false, Match, Watch, Deadline, Kept) -> wait(Match, Watch, Deadline, Kept).

ended(Result, Kept) ->
    lists:foreach(fun(Message) -> self() ! Message end, lists:reverse(Kept)),
    Result.

%% @doc Ends what a monitored process does for us, its work in a worker included; no 'DOWN' message
%% comes. It is not killed, for it must still count itself out: {@link is_cancel/1} tells it.
-spec cancel(pid(), reference()) -> ok.
cancel(Pid, Ref) ->
    true = erlang:demonitor(Ref, [flush]),
    Pid ! cancel,
    ok.

-spec is_cancel(term()) -> boolean().
is_cancel(Message) -> Message =:= cancel.
