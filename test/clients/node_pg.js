// node-pg through the side port: simple, parameterised and named statements, an error.
// Prints one line for each thing that went as it should.
const { Client } = require('pg');

async function main(port) {
  const client = new Client({
    host: '127.0.0.1', port, database: 'postgres', user: process.env.PGUSER,
    application_name: 'node-pg',
  });
  await client.connect();
  console.log('simple', (await client.query('select 1 + 1 as two')).rows[0].two);
  console.log('parameters', (await client.query('select $1::text || $2 as both', ['a', 'b'])).rows[0].both);
  const named = { name: 'add', text: 'select $1::int + 1 as next' };
  for (let n = 0; n < 3; n++) {
    console.log('named', (await client.query({ ...named, values: [n] })).rows[0].next);
  }
  try {
    await client.query('select 1/0');
  } catch (error) {
    console.log('error', error.code);
  }
  console.log('many', (await client.query('select generate_series(1, 5000) as n')).rows.length);
  await client.end();
}

main(Number(process.argv[2])).catch((error) => {
  console.error(error);
  process.exit(1);
});
