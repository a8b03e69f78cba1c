%% @doc A network that can be broken: a TCP proxy between Erlang nodes and one worker. The worker is
%% started without epmd; the proxy registers its name, with the proxy's port, so nothing goes past it.
%%
%% Conditions: `pass'; `cut' (connections are closed, new ones too); `stall' (nothing is read or
%% written, everything stays open); `{delay, Ms}' (each byte arrives that much later).
-module(tcp_proxy).

-export([start/2, set/2, stop/1]).

-define(LISTEN, [binary, {active, false}, {ip, {127, 0, 0, 1}}, {nodelay, true}, {backlog, 64}]).
-define(CONNECT, [binary, {active, false}, {nodelay, true}]).

%% @doc A proxy to Port of this machine, known to epmd as Name. It ends with its caller.
start(Name, Port) ->
    Self = self(),
    Pid = spawn(fun() -> init(Self, Name, Port) end),
    receive
        {Pid, ready} -> Pid
    after 10000 -> error(no_proxy)
    end.

set(Proxy, Condition) -> ask(Proxy, {set, Condition}).
stop(Proxy) -> ask(Proxy, stop).

ask(Proxy, Question) ->
    Ref = monitor(process, Proxy),
    Proxy ! {ask, self(), Ref, Question},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, _, Reason} -> error({proxy, Reason})
    after 10000 -> error({proxy, no_answer})
    end.

init(Parent, Name, Target) ->
    Owner = monitor(process, Parent),
    {ok, Listen} = gen_tcp:listen(0, ?LISTEN),
    {ok, Port} = inet:port(Listen),
    Registration = register_name(Name, Port),
    Condition = ets:new(condition, [public]),
    true = ets:insert(Condition, {now, pass}),
    Self = self(),
    spawn_link(fun() -> accept(Self, Listen) end),
    Parent ! {Self, ready},
    loop(#{owner => Owner, target => Target, condition => Condition, pairs => [],
           held => Registration}).

%% A name stays with epmd for as long as its connection does.
register_name(Name, Port) ->
    Epmd = list_to_integer(os:getenv("ERL_EPMD_PORT", "4369")),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Epmd, ?CONNECT),
    Text = list_to_binary(Name),
    Request = <<120, Port:16, 72, 0, 6:16, 5:16, (byte_size(Text)):16, Text/binary, 0:16>>,
    ok = gen_tcp:send(Socket, <<(byte_size(Request)):16, Request/binary>>),
    {ok, <<_, 0>>} = gen_tcp:recv(Socket, 2, 5000),
    Socket.

accept(Proxy, Listen) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            ok = gen_tcp:controlling_process(Socket, Proxy),
            Proxy ! {accepted, Socket},
            accept(Proxy, Listen);
        {error, closed} ->
            ok
    end.

loop(#{owner := Owner, condition := Table, pairs := Pairs} = State) ->
    receive
        {accepted, Socket} ->
            loop(State#{pairs := accepted(condition(Table), Socket, State) ++ Pairs});
        {ask, From, Ref, stop} ->
            From ! {Ref, ok};
        {ask, From, Ref, {set, Condition}} ->
            true = ets:insert(Table, {now, Condition}),
            Condition =:= cut andalso [exit(Pair, kill) || Pair <- Pairs],
            From ! {Ref, ok},
            loop(State);
        {'DOWN', Owner, process, _, _} ->
            ok;
        {'DOWN', _, process, Pair, _} ->
            loop(State#{pairs := lists:delete(Pair, Pairs)})
    end.

condition(Table) -> ets:lookup_element(Table, now, 2).

accepted(cut, Socket, _) ->
    ok = gen_tcp:close(Socket),
    [];
accepted(_, Socket, #{target := Target, condition := Table}) ->
    Proxy = self(),
    {Pair, _} = spawn_monitor(fun() -> receive go -> pair(Proxy, Socket, Target, Table) end end),
    ok = gen_tcp:controlling_process(Socket, Pair),
    Pair ! go,
    [Pair].

%% Owns both sockets: its end closes them. Two readers, two writers.
pair(Proxy, Socket, Target, Table) ->
    _ = monitor(process, Proxy),
    case gen_tcp:connect({127, 0, 0, 1}, Target, ?CONNECT, 5000) of
        {ok, Other} ->
            relay(Socket, Other, Table),
            relay(Other, Socket, Table),
            receive
                {'DOWN', _, process, _, _} -> exit(shutdown);
                closed -> exit(shutdown)
            end;
        {error, _} ->
            ok
    end.

relay(From, To, Table) ->
    Pair = self(),
    Writer = spawn_link(fun() -> write(To, Pair, Table) end),
    spawn_link(fun() -> read(From, Writer, Table) end).

read(From, Writer, Table) ->
    until_flowing(Table),
    case gen_tcp:recv(From, 0) of
        {ok, Data} ->
            Writer ! {due(condition(Table)), Data},
            read(From, Writer, Table);
        {error, _} ->
            %% After what is on its way.
            Writer ! {due(condition(Table)), closed}
    end.

due({delay, Ms}) -> now_ms() + Ms;
due(_) -> now_ms().

write(To, Pair, Table) ->
    {Due, What} = receive Item -> Item end,
    timer:sleep(max(0, Due - now_ms())),
    until_flowing(Table),
    case What of
        closed ->
            Pair ! closed;
        Data ->
            %% The reader of this socket tells of its end.
            _ = gen_tcp:send(To, Data),
            write(To, Pair, Table)
    end.

until_flowing(Table) ->
    case condition(Table) of
        stall -> timer:sleep(10), until_flowing(Table);
        _ -> ok
    end.

now_ms() -> erlang:monotonic_time(millisecond).
