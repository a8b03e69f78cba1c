%% @doc What a web server must do to host the front's HTTP side. {@link ml_cluster_mochiweb} is one;
%% the handlers (`ml_cluster_http*') know none.
%%
%% For each request an adapter
%% <ol>
%% <li>makes a {@link ml_cluster_http:head()} of it: method, path without the query, headers by name
%%   in lower case (values of one that stands twice joined by a comma);</li>
%% <li>gives it to {@link ml_cluster_http:admit/1} and does what that says:
%%   <dl>
%%   <dt>`{respond, Response}'</dt><dd>sends the response; the body was not read, so the connection
%%     ends unless it has none;</dd>
%%   <dt>`{read, #{limit, timeout, answer}, Handle}'</dt><dd>reads the whole body, at most `limit'
%%     bytes and within `timeout' milliseconds in all, then sends `Handle(Body, Watch)'. Handle never
%%     raises. With `none' for Watch, killing the process that runs it cancels the work down to the
%%     worker, which is what to do when the client hangs up. With a {@link ml_cluster_watch:watch()}
%%     the process is not to be killed; the adapter answers `deadline_exceeded' in its place when it
%%     takes longer than `answer' milliseconds, or leaves that to a long deadline. What went wrong
%%     with the body (`{too_large, <<"body">>, Got, Limit}', `slow_body', `{malformed, What}') becomes
%%     a response by {@link ml_cluster_http:refuse/2};</dd>
%%   <dt>`{stream, Run}'</dt><dd>calls `Run({Adapter, State})' in the process that gets the body's
%%     messages; the callbacks below take over;</dd>
%%   </dl></li>
%% <li>leaves out the body of a response to HEAD;</li>
%% <li>calls {@link ml_cluster_http:observe/3} once the response is sent.</li>
%% </ol>
%%
%% In a stream request and response run side by side, with back-pressure on each: nothing of the
%% body is read that was not asked for by more/1, and write/2 returns when the client has taken
%% enough of what it was sent.
-module(ml_cluster_http_adapter).

-export([more/1, event/2, start/3, write/2, finish/1]).
-export_type([conn/0, outcome/0]).

-type state() :: term().
%% The state is the adapter's own.
-type conn() :: {Adapter :: module(), state()}.

%% What became of a stream. `{respond, Response}': nothing was sent yet, send this instead.
%% `finished': finish/1 was called. `cut': something went wrong after the first byte; the adapter
%% ends the connection without a last chunk, so that no client takes half an answer for a whole one.
-type outcome() :: {respond, ml_cluster_http:response()} | finished | cut.

%% Can it be used on this node? The reason says what is missing.
-callback usable() -> ok | {error, binary()}.
%% The listener, for the front's supervisor: the configuration's `http' and `limits'.
-callback child_spec(map(), map()) -> supervisor:child_spec().

%% Closes idle connections and says how many are open; asked again and again by a front that stops.
-callback drain() -> non_neg_integer().

%% How many connections are open.
-callback connections() -> non_neg_integer().

%% Asks for the next part of the body: it comes as one message to the calling process. Not to be
%% called again before that message.
-callback more(state()) -> state().

%% Is this message a part of the body? `{last, …}' brings the last part, which may be empty.
-callback event(Message :: term(), state()) ->
    {data, binary(), state()}
    | {last, binary(), state()}
    | {error, closed | term()}
    | other.

%% Sends status and headers.
-callback start(100..599, [{binary(), iodata()}], state()) -> {ok, state()} | {error, closed}.

%% Sends a part of the body. `timeout': the client took nothing for `write_timeout_ms'.
-callback write(iodata(), state()) -> {ok, state()} | {error, closed | timeout}.

%% Ends the body.
-callback finish(state()) -> ok | {error, closed}.

%% A server that has its own listener (Hornbeam's) starts none.
-optional_callbacks([usable/0, child_spec/2, drain/0, connections/0]).

-spec more(conn()) -> conn().
more({Adapter, State}) -> {Adapter, Adapter:more(State)}.

-spec event(term(), conn()) ->
    {data | last, binary(), conn()} | {error, closed | term()} | other.
event(Message, {Adapter, State}) ->
    case Adapter:event(Message, State) of
        {Kind, Data, Next} -> {Kind, Data, {Adapter, Next}};
        Other -> Other
    end.

-spec start(100..599, [{binary(), iodata()}], conn()) -> {ok, conn()} | {error, closed}.
start(Status, Headers, {Adapter, State}) -> wrapped(Adapter:start(Status, Headers, State), Adapter).

-spec write(iodata(), conn()) -> {ok, conn()} | {error, closed | timeout}.
write(Data, {Adapter, State}) -> wrapped(Adapter:write(Data, State), Adapter).

-spec finish(conn()) -> ok | {error, closed}.
finish({Adapter, State}) -> Adapter:finish(State).

wrapped({ok, State}, Adapter) -> {ok, {Adapter, State}};
wrapped({error, _} = Error, _) -> Error.
