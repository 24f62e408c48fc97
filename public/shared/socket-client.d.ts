// The socket.io server serves its client at /socket.io/; only its address differs from the package's.
declare module '*/socket.io.esm.min.js' {
  export { io } from 'socket.io-client';
}
