insert into oms.control (scope, action, actor, reason, session) values ('strategy:cross', 'kill', 'a', 'too many',
  's'), ('strategy:cross', 'resume', 'a', 'looked at', 's');
