-module(ml_cluster_watch_tests).
-include_lib("eunit/include/eunit.hrl").

wanted({wanted, Value}) -> Value;
wanted(_) -> none.

is_end(Message) -> Message =:= hung_up.

wait(Deadline) -> ml_cluster_watch:wait(fun wanted/1, fun is_end/1, Deadline).

soon() -> erlang:monotonic_time(millisecond) + 1.

sent(Messages) -> [self() ! Message || Message <- Messages].

mailbox() ->
    receive
        Message -> [Message | mailbox()]
    after 0 -> []
    end.

what_is_waited_for_is_taken_test() ->
    sent([a, b, {wanted, 1}, c]),
    ?assertEqual({got, 1}, wait(infinity)),
    ?assertEqual([a, b, c], lists:sort(mailbox())).

what_ends_the_wait_is_put_back_test() ->
    sent([a, hung_up, {wanted, 1}]),
    ?assertEqual(gone, wait(infinity)),
    ?assertEqual([{wanted, 1}, a, hung_up], mailbox()).

the_rest_keeps_its_order_test() ->
    sent([a, b, c]),
    ?assertEqual(timeout, wait(soon())),
    ?assertEqual([a, b, c], mailbox()).
